"""A guest and its host in one process.

Owns the link between them: what either says is packed and checked as on a socket, so that it means the same in every
provider.
"""

from __future__ import annotations

from cloister.isolation.dialogue import Dialogue
from cloister.isolation.guest.link import HostLost
from cloister.isolation.wire import HEADER_BYTES, pack, unpack
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, Message, checked


class Bridge:
    """A link to a host in the same process; implements `cloister.isolation.guest.link.Link`.

    Args:
        start: The first message the guest receives.
        dialogue: The host's side.
        bytes_max: Of one message.

    Attributes:
        ending: What ended the execution on the host's side, if anything did.
    """

    def __init__(self, start: Message, dialogue: Dialogue, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._dialogue = dialogue
        self._inbox = [start]
        self.ending: BaseException | None = None

    def send(self, message: Message) -> None:
        """Have the host act on a message.

        Raises:
            HostLost: The host ended the execution.
        """
        if self.ending is not None:
            raise HostLost("the execution has ended")
        received = checked(unpack(pack(message, self._bytes_max)[HEADER_BYTES:]), GUEST_MESSAGES)
        try:
            reply = self._dialogue.handle(received)
        except BaseException as error:
            # Whatever ends the execution goes to the caller of `execute`; the plan must not be able to stop it
            self.ending = error
            raise HostLost("the host ended the execution") from error
        if reply is not None:
            self._inbox.append(reply)

    def receive(self) -> Message | None:
        """Return what the host said, or None when it said nothing more."""
        if not self._inbox:
            return None
        message = pack(self._inbox.pop(0), self._bytes_max)
        return checked(unpack(message[HEADER_BYTES:]), HOST_MESSAGES)
