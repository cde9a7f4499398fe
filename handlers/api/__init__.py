"""The JSON API, on the same services as the pages."""
