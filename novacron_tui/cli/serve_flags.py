"""The flags of `novacron serve`, for completion and the manual: the console does not import the server, which may not
even be installed."""

SERVE_FLAGS = {
    "--settings": "TOML file with these flags as keys.",
    "--host": "Address to listen on.",
    "--port": "Port to listen on; 0 = any free port.",
    "--data-dir": "Data directory.",
    "--database-url": "PostgreSQL URL. Default: an embedded PostgreSQL.",
    "--database-owner-url": "URL with the role that may change tables, if different.",
    "--database-budget-s": "Time limit of a transaction in seconds.",
    "--hypervisor": "libvirt URI; may be repeated. Default: automatic.",
    "--virtualization": "Override the detection of KVM: kvm or qemu.",
    "--tls-cert": "TLS certificate (PEM file).",
    "--tls-key": "TLS private key (PEM file).",
    "--behind-proxy": "Addresses or networks of a proxy that terminates TLS.",
    "--origin": "Browser origin to allow; may be repeated.",
    "--allowed-host": "Name by which clients address this server; may be repeated. See the docs.",
    "--open-registration": "Allow anyone to register as viewer.",
    "--production": "Disable test-only features.",
    "--requests-per-minute": "Requests per minute per client address.",
    "--sign-ins-per-minute": "Sign-ins per minute per client address, not counting accounts that have signed in from it before.",
    "--prometheus": "Who may scrape /metrics: token (see the file metrics-token), loopback (also this machine) or off.",
    "--samples-kept-hours": "Hours to keep metric samples.",
    "--minutes-kept-days": "Days to keep metrics per minute.",
    "--sockets-per-minute": "WebSocket connections per minute per client address.",
    "--unfinished-connections": "Connections per address without a request.",
    "--idle-connections": "Connections per address that wait between requests.",
    "--sockets-per-session": "Open WebSocket connections per session.",
    "--sessions-per-user": "Live sessions per user; then the oldest ends.",
    "--database-connections": "Connections for transactions; three more are opened.",
    "--max-virtual-size-gib": "Largest disk that an image may be, in GiB.",
}
"""Flag → its help, as `novacron serve --help` prints it."""
