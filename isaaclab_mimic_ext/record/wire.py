"""Messages with large arrays between processes, without a copy of them while Python's interpreter lock is held.

`Connection.send` would pickle the arrays too: generation stands still for that long. Imported by the writer's process: no
torch here.
"""

import pickle
from multiprocessing.connection import Connection
from typing import Any


def send_message(connection: Connection, message: Any) -> None:
    """Send what `receive_message` receives."""
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    connection.send((body, len(arrays)))
    for array in arrays:
        connection.send_bytes(array.raw())


def receive_message(connection: Connection) -> Any:
    """A message, once it is all there; its arrays may not be written to.

    Raises:
        EOFError: the other end is gone.
    """
    body, num_arrays = connection.recv()
    return pickle.loads(body, buffers=[connection.recv_bytes() for _ in range(num_arrays)])
