"""The site's services. Requests and pages are in `handlers`."""
