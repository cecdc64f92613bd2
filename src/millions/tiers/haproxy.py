"""What HAProxy is told: its configuration, from a frozen set of rules. Pure text.

It knows nothing of stack files; `balancer.py` says what stands there.

Source: the HAProxy 2.6 configuration manual; what a retry may repeat, and what a reload must not
close, was measured (docs/decisions/0011-balancer.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.tiers import haproxy_edges

if TYPE_CHECKING:
    from millions.model import Address

BACKEND = "web"
KIB = 1_024
MIB = 1_048_576

WINDOW_S = 10
"""Requests per address are counted over so many seconds, so that a page with many pictures is not
refused."""

HARD_LIMIT = 2
"""Connections beyond the limit get an answer that says so; beyond so many times it, none: who opens
that many does not read answers."""

REWRITE_BYTES = 2_048
"""Room for the headers that we add."""

ADDRESSES_KEPT = 200_000
"""Addresses that are counted at a time, 100 bytes each; the least recently seen are forgotten."""

HEADERS_MAX = 100
"""The number of headers of a request."""

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Mozilla's intermediate list, without the key exchanges that have no forward secrecy."""

REQUEST_ID = "^[A-Za-z0-9._-]{8,64}$"
"""What is taken over as a request's name; the same as in the SDK."""

EVEN_WEIGHT = 100

CONTROL = r"'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]'"  # ends a line or text for some programs only

CHECKED = "check inter 1s fastinter 250ms downinter 250ms fall 3 rise 1"
"""A server is asked each second. Three bad answers take it out: a database that is away for a
second must not empty the pool. A refused connection is noticed by the request itself."""

POOLED = "pool-purge-delay 2s"
"""Idle connections to a server are closed before it would: it keeps them 5 s while it drains."""

BESIDE_CONNECTIONS = 1_024
"""Room for probes, figures and edges that fetch: who probes must not wait behind a full house."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """HTTPS: the PEM file with chain and key, and what is said of it."""

    certificate: str
    port: int
    redirect: bool
    hsts_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that the configuration says. Zero means "no limit" for the limits per address."""

    socket: str
    private: Address
    origin: Address
    threads: int
    connections: int
    balance: str
    sticky: bool
    secured: Secured | None
    challenges: str
    exempt: tuple[str, ...]
    connections_per_address: int
    requests_per_s: int
    max_body_mib: int
    max_header_kib: int
    max_url_bytes: int
    repeat_kib: int
    request_s: int
    idle_s: int
    answer_s: int
    tunnel_s: int
    queue_s: int
    drain_s: int
    delivery: haproxy_edges.Delivery | None = None


TAKEN_OVER = (
    *("threads", "connections", "balance", "sticky", "challenges"),
    *("connections_per_address", "requests_per_s"),
    *("max_header_kib", "max_url_bytes", "repeat_kib"),
    *("request_s", "idle_s", "answer_s", "tunnel_s", "queue_s", "drain_s"),
)
"""The rules that are settings of the same name."""


def server_options(source: str, connections: int) -> str:
    """What is said of each server of the pool; `source` is the address that we ask it from."""
    return f"{CHECKED} {POOLED} source {source} maxconn {connections}"


def configuration(rules: Rules) -> str:
    """Answer the file; {servers} stands where the servers of the pool belong."""
    parts = (
        _global(rules),
        _defaults(rules),
        _public(rules),
        _challenges(rules),
        _addresses(rules),
        _web(rules),
        haproxy_edges.edges(rules.origin) if rules.delivery else [],
        haproxy_edges.asked(rules.origin, LOG_FORMAT),
        _private(rules),
    )
    return "\n".join("\n".join(part) + "\n" for part in parts if part)


def by_weight(text: str) -> str:
    """The file so that the weights hold at every load: the fewest connections know none at rest."""
    return text.replace("    balance leastconn\n", "    balance roundrobin\n")


def _global(rules: Rules) -> list[str]:
    buffer = max(rules.repeat_kib, rules.max_header_kib) * KIB + REWRITE_BYTES
    return [
        "global",
        f"    nbthread {rules.threads}",
        f"    maxconn {rules.connections + BESIDE_CONNECTIONS}",
        "    no strict-limits",
        f"    stats socket {rules.socket} mode 600 level admin expose-fd listeners",
        "    stats timeout 30s",
        f"    hard-stop-after {rules.drain_s}s",
        "    log stdout format raw daemon",
        f"    tune.bufsize {buffer}",
        f"    tune.maxrewrite {REWRITE_BYTES}",
        f"    tune.http.maxhdr {HEADERS_MAX}",
        "    tune.h2.max-concurrent-streams 100",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        f"    ssl-default-bind-ciphers {CIPHERS}",
        f"    ssl-default-bind-ciphersuites {SUITES}",
    ]


def _defaults(rules: Rules) -> list[str]:
    return [
        "defaults",
        "    mode http",
        "    log global",
        "    option idle-close-on-response",
        "    option redispatch 1",
        "    retries 3",
        "    retry-on conn-failure empty-response junk-response",
        "    timeout connect 2s",
        f"    timeout client {max(rules.answer_s, rules.request_s)}s",
        f"    timeout server {rules.answer_s}s",
        f"    timeout http-request {rules.request_s}s",
        f"    timeout http-keep-alive {rules.idle_s}s",
        f"    timeout queue {rules.queue_s}s",
        f"    timeout tunnel {rules.tunnel_s}s",
        "    timeout client-fin 2s",
        "    timeout check 2s",
        *_errors(),
    ]


def _errors() -> list[str]:
    """What is answered when no web server can: short, and with Retry-After where that helps."""
    said = {
        400: "it is not valid HTTP",
        408: "it did not arrive in time",
        500: "the balancer failed",
        502: "the web server broke off; whether it was done is not known",
        503: "no web server is ready",
        504: "the web server did not answer in time",
    }
    return [
        f"    http-error status {status} content-type text/plain "
        f'string "cannot answer this request\\n  because: {because}\\n"'
        + (" hdr Retry-After 1" if status in (503, 504) else "")
        for status, because in said.items()
    ]


def _public(rules: Rules) -> list[str]:
    return [
        "frontend public",
        "    bind fd@3",
        *([_secured_bind(rules.secured)] if rules.secured else []),
        f"    maxconn {rules.connections}",
        "    option dontlog-normal",
        "    option dontlognull",
        f"    log-format '{LOG_FORMAT}'",
        *_limits_per_address(rules),
        *_shape(rules),
        *_redirection(rules),
        *_names(),
        *_repeats(rules),
        *(haproxy_edges.routing(rules.delivery) if rules.delivery else ()),
        "    default_backend web",
    ]


def _secured_bind(secured: Secured) -> str:
    return f"    bind fd@4 ssl crt {secured.certificate} alpn h2,http/1.1"


def _limits_per_address(rules: Rules) -> list[str]:
    """Refuse what one address asks too much; what was refused does not count."""
    lines: list[str] = []
    if not rules.connections_per_address and not rules.requests_per_s:
        return lines
    unless = ""
    if rules.exempt:
        lines.append(f"    acl exempt src {' '.join(rules.exempt)}")
        unless = " unless exempt"
    lines.append(f"    tcp-request connection track-sc0 src table addresses{unless}")
    if rules.connections_per_address:
        most = rules.connections_per_address
        lines += [
            f"    tcp-request connection reject if {{ sc0_conn_cur gt {most * HARD_LIMIT} }}",
            (
                "    tcp-request connection set-var(sess.crowded) bool(true) "
                f"if {{ sc0_conn_cur gt {most} }}"
            ),
            _refuse(429, f"your address has {most} connections open already", later=True)
            + " if { var(sess.crowded) -m bool }",
            "    http-after-response set-header Connection close if { var(sess.crowded) -m bool }",
        ]
    if rules.requests_per_s:
        most = rules.requests_per_s * WINDOW_S
        lines += [
            _refuse(429, f"your address asked more than {most} times in {WINDOW_S} s", later=True)
            + f" if {{ sc0_gpc0_rate ge {most} }}",
            f"    http-request sc-inc-gpc0(0){unless}",
        ]
    return lines


def _shape(rules: Rules) -> list[str]:
    """Refuse requests that are too large, or that two servers could read in two ways."""
    return [
        _refuse(405, "this method is not for web servers", quiet=True)
        + " if { method CONNECT TRACE }",
        _refuse(400, "it names no host") + " if HTTP_1.1 !{ req.hdr(host) -m found }",
        _refuse(400, "HTTP/1.0 has no transfer encodings")
        + " if HTTP_1.0 { req.hdr(transfer-encoding) -m found }",
        _refuse(400, "it holds control characters") + f" if {{ req.hdrs -m reg {CONTROL} }}",
        _refuse(414, f"its URL is longer than {rules.max_url_bytes} bytes")
        + f" if {{ url_len gt {rules.max_url_bytes} }}",
        _refuse(431, f"its headers are larger than {rules.max_header_kib} KiB")
        + f" if {{ req.hdrs,length gt {rules.max_header_kib * KIB} }}",
        _refuse(413, f"its body is larger than {rules.max_body_mib} MiB")
        + f" if {{ req.hdr_val(content-length) gt {rules.max_body_mib * MIB} }}",
    ]


def _redirection(rules: Rules) -> list[str]:
    lines: list[str] = []
    if rules.challenges:
        lines.append("    acl challenge path_beg /.well-known/acme-challenge/")
        lines.append("    use_backend challenges if challenge !{ ssl_fc }")
    secured = rules.secured
    if secured and secured.redirect:
        port = "" if secured.port == 443 else f":{secured.port}"  # noqa: PLR2004  # that of HTTPS
        unless = " !challenge" if rules.challenges else ""
        lines.append(
            f"    http-request redirect code 308 location "
            f"https://%[req.hdr(host),field(1,:)]{port}%[pathq] if !{{ ssl_fc }}{unless}"
        )
    if secured and secured.hsts_s:
        lines.append(
            "    http-after-response set-header Strict-Transport-Security "
            f"max-age={secured.hsts_s} if {{ ssl_fc }}"
        )
    return lines


def _names() -> list[str]:
    """Say who asks, from where and under which name; believe nobody else about that."""
    return [
        "    http-request del-header _ -m sub",
        "    http-request del-header X-Forwarded- -m beg",
        "    http-request del-header Forwarded",
        "    http-request del-header X-Real-IP",
        "    http-request del-header Proxy",
        "    http-request del-header Upgrade unless { req.hdr(upgrade) -i websocket }",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
        (
            "    http-request set-header X-Request-Id %[uuid()] "
            f"unless {{ req.hdr(x-request-id) -m reg {REQUEST_ID} }}"
        ),
        "    http-request set-var(txn.id) req.hdr(x-request-id)",
    ]


def _repeats(rules: Rules) -> list[str]:
    """Repeat only what may be: a request that was held back whole, and is safe to do twice."""
    return [
        f"    http-request wait-for-body time {rules.request_s}s",
        (
            "    http-request disable-l7-retry "
            "if !{ method GET HEAD } !{ req.hdr(idempotency-key) -m found }"
        ),
    ]


def _challenges(rules: Rules) -> list[str]:
    """Where a client that renews certificates answers for this host name."""
    if not rules.challenges:
        return []
    return ["backend challenges", f"    server client {rules.challenges}"]


def _addresses(rules: Rules) -> list[str]:
    if not rules.connections_per_address and not rules.requests_per_s:
        return []
    return [
        "backend addresses",
        (
            f"    stick-table type ip size {ADDRESSES_KEPT} expire {2 * WINDOW_S}s "
            f"store conn_cur,gpc0_rate({WINDOW_S}s)"
        ),
    ]


def _web(rules: Rules) -> list[str]:
    return [
        f"backend {BACKEND}",
        f"    balance {rules.balance}",
        "    option httpchk",
        "    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host millions",
        "    http-check expect status 200",
        *_sticky(rules),
        "{servers}",
    ]


def _sticky(rules: Rules) -> list[str]:
    """Keep a browser at its server by a cookie that names it, while that server is there."""
    if not rules.sticky:
        return []
    secure = "; Secure" if rules.secured and rules.secured.redirect else ""
    return [
        "    http-request set-var(txn.server) req.cook(millions_server)",
        "    use-server %[var(txn.server)] if { var(txn.server) -m found }",
        (
            '    http-response add-header Set-Cookie "millions_server=%s; Path=/; HttpOnly; '
            f'SameSite=Lax{secure}" if !{{ srv_name,strcmp(txn.server) eq 0 }} '
            "!{ var(txn.shared) -m bool }"
        ),
    ]


def _private(rules: Rules) -> list[str]:
    """For probes and scrapers of this machine."""
    return [
        "frontend private",
        f"    bind {rules.private}",
        "    no log",
        "    monitor-uri /readyz",
        "    http-request use-service prometheus-exporter if { path /metrics }",
        '    http-request return status 404 content-type text/plain string "not here: /metrics\\n"',
    ]


def _refuse(status: int, because: str, *, later: bool = False, quiet: bool = False) -> str:
    """A rule that answers a request in place of a web server."""
    again = " hdr Retry-After 1" if later else ""
    said = "" if quiet else f"  because: {because}\\n"
    return (
        f"    http-request return status {status} content-type text/plain{again} "
        f'string "cannot accept this request\\n{said}"'
    )


LOG_FORMAT = (
    '{"level":"warning","event":"not answered well","request_id":"%[var(txn.id)]",'
    '"client":"%ci","method":"%[capture.req.method,json(utf8s)]",'
    '"path":"%[capture.req.uri,field(1,?),json(utf8s)]","status":%ST,"ms":%Ta,"server":"%s",'
    '"retries":"%rc","ended":"%tsc"}'
)
"""One JSON line for what was refused, broke off, was repeated or failed; the web servers' log has
all that went well. The path without its query, which may hold signatures."""
