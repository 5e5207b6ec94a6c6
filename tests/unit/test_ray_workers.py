"""Connection of a worker process that Ray starts, without Ray: the client of this test has the key."""

import socket
import threading
from multiprocessing.connection import Client
from types import SimpleNamespace
from typing import Any

from isaaclab_mimic_ext.run.episodes import receive_message
from isaaclab_mimic_ext.run.ray_workers import RayProcess

JOB: Any = "the job"


class StandIn:
    """Ray, as far as `RayProcess` uses it; the test starts the client."""

    def __init__(self) -> None:
        self.util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")
        self.arguments: tuple[Any, ...] = ()

    def remote(self, cls: type) -> Any:
        actor = SimpleNamespace(run=SimpleNamespace(remote=self._note))
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: actor))

    def _note(self, *arguments: Any) -> None:
        self.arguments = arguments

    def wait(self, ends: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return [], ends


def test_clients_without_the_key_do_not_take_the_place_of_the_worker() -> None:
    ray = StandIn()
    process = RayProcess(ray, {"num_cpus": 1}, JOB)
    address, key, _ = ray.arguments
    socket.create_connection(address).close()
    with socket.create_connection(address) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = list[Any]()

        def work() -> None:
            with Client(address, authkey=key) as connection:
                received.append(receive_message(connection))

        worker = threading.Thread(target=work)
        worker.start()
        process.connect()
        worker.join()
    assert received == [JOB]
    process.connection.close()
