"""Finds messages: the cheap part of a program becomes SQL; of text, the index names candidates."""
