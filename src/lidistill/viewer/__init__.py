"""The browser page: what it shows, a small server for it, and static pages that need none."""
