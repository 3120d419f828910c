"""The tables of the first migration. Do not change them: later migrations do."""
