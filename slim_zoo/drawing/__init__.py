"""Drawing: colours, fonts, sheets of thumbnails, charts."""
