"""Systems that are built on the library; they are not part of the wheel."""
