"""Requests to be forgotten, and the search for personal data in what would be published."""
