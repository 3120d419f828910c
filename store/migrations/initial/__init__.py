"""The tables of the first migration. They stay as they are: later migrations change them."""
