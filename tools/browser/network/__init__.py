"""The browser's network: the one place where a page's address becomes a connection."""
