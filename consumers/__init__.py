"""From a message or a due row to settled deliveries: take, match, claim, hand to the dispatcher,
settle, acknowledge.
"""
