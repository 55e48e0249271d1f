"""Serves app.py with uvicorn and says when it listens.

    HOOK=whsec_… DATA=… PORT=… [WORKERS=1] python server.py
"""

import os

import uvicorn
from uvicorn.supervisors import Multiprocess

import app  # noqa: F401 (so that the table is there before several workers are)

if __name__ == "__main__":
    config = uvicorn.Config(
        "app:app",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        workers=int(os.environ.get("WORKERS", "1")),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )
    socket = config.bind_socket()
    # From here on who connects waits until a worker takes the connection.
    socket.listen(config.backlog)
    print(f"listening on 127.0.0.1:{config.port}", flush=True)
    if config.workers == 1:
        uvicorn.Server(config).run(sockets=[socket])
    else:
        Multiprocess(config, sockets=[socket]).run()
