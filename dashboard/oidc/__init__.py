"""Sign-in by OpenID Connect: the authorization code flow with PKCE, at one provider. Knows no pages:
the views begin and end the flow, and the store says who may sign in.
"""
