"""One file a page, and `api` for JSON. A handler gets its input, asks a service and answers."""
