"""Permissions of calls: the rules, the reach of a call, and the answer of the person."""
