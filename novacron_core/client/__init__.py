"""The API client: `Client.call(ENDPOINT, …)`, and the event stream as an async iterator."""

from novacron_core.client.credentials import Credentials
from novacron_core.client.rest import Client
from novacron_core.client.stream import Connected, Disconnected, SampleSubscription, Update, stream

__all__ = ["Client", "Connected", "Credentials", "Disconnected", "SampleSubscription", "Update", "stream"]
