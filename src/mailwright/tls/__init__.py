"""Certificates, and the contexts made of them."""
