# A client by python3-h2, for http2-clients.test.ts: prints as JSON what it has got. Argument: the port.
import hashlib
import json
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

WINDOW = 1_000


class Client:
    def __init__(self, port):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", port))
        self.socket = context.wrap_socket(raw, server_hostname="a.example")
        assert self.socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1", validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.bodies, self.status, self.trailers, self.resets = {}, {}, {}, {}
        self.ended, self.pinged = set(), False
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def request(self, path, method="GET", extra=(), end=True):
        stream = self.connection.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "a.example"), *extra]
        self.connection.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def until(self, holds):
        while not holds():
            data = self.socket.recv(65_536)
            if not data:
                raise SystemExit("the connection has ended")
            for event in self.connection.receive_data(data):
                self.on(event)
            self.flush()

    def on(self, event):
        if isinstance(event, h2.events.DataReceived):
            self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.ResponseReceived):
            self.status[event.stream_id] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers[event.stream_id] = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[event.stream_id] = int(event.error_code)
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pinged = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise SystemExit(f"GOAWAY {event.error_code}")


client = Client(int(sys.argv[1]))
large = client.request("/large")
client.until(lambda: large in client.ended)

post = client.request("/", "POST", end=False)
client.connection.send_data(post, b"hello ", pad_length=200)
client.connection.send_data(post, b"world")
client.connection.send_headers(post, [("x-late", "v")], end_stream=True)
client.flush()
with_trailers = client.request("/trailers")
client.until(lambda: post in client.ended and with_trailers in client.ended)

client.connection.ping(b"01234567")
client.flush()
client.until(lambda: client.pinged)

many = [client.request(f"/{i}", extra=[("x-number", str(i)), ("priority", f"u={i % 8}, i")]) for i in range(50)]
client.until(lambda: all(stream in client.ended for stream in many))

bad = client.request("/", extra=[("x", "a\r\nb")])
client.until(lambda: bad in client.ended)
alive = client.request("/")
client.until(lambda: alive in client.ended)

print(
    json.dumps(
        {
            "large": hashlib.sha256(client.bodies[large]).hexdigest(),
            "posted": client.bodies[post].decode(),
            "trailers": [list(field) for field in client.trailers[with_trailers]],
            "pinged": client.pinged,
            "heads": sum(client.status[stream] == "200" for stream in many),
            "reset": client.resets.get(bad),
            "alive": client.status[alive],
        }
    )
)
