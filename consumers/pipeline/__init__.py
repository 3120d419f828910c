"""The stages that a message passes: intake, claim, match, dispatch, settlement."""
