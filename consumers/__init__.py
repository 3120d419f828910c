"""From a message or a due row to settled deliveries: fetch, match, claim, dispatch, settle,
acknowledge.
"""
