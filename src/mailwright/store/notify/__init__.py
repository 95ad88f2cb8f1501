"""Carries one sentence only: account X reached change N."""
