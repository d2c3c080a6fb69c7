"""The page of a report, report.html: one file with data, pictures and a script."""
