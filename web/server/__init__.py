"""The HTTP server of every process that listens, on its event loop.

`sockets`, `server` and `connection` first; `reader` and `heads` make a request, `sending` and `wire`
send the answer. `threads` are for what may block.
"""
