"""The pages, one module for each subject, and what they show of it."""
