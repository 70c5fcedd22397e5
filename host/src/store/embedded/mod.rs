//! SQLite and a folder.
