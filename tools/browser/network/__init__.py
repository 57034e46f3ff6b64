"""The browser's way out: the one place where a page's address becomes a connection."""
