"""Objects of many drives in one table: searched by what they look like, and chosen from."""
