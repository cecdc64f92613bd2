"""What Varnish is told: its configuration, from a frozen set of rules. Pure text.

It knows nothing of stack files; `edge.py` says what stands there. The secret is never in it: the
process reads it from its environment.

Source: the Varnish 7.1 manual; what was measured is in docs/decisions/0016-edges.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.tiers.haproxy_edges import SECRET_HEADER, SECRET_VARIABLE

if TYPE_CHECKING:
    from millions.model import Address

FAILED_S = 1
"""How long the failure of the application is the answer for everybody: without it a hundred clients
ask a sick application a hundred times."""

UNCACHEABLE_S = 60
"""How long it is remembered that an answer is not for everybody, so that nobody waits for it."""

MIB = 1_048_576

ALIASES = (
    # letters, digits and "-._~" need no percent sign, and what has one is another name of the same
    "(?i)^[^?]*%(2d|2e|3[0-9]|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]|7e)",
    r"^[^?]*(//|/\.\.?(/|\?|$))",
)
"""Paths that are another spelling of a path. They are passed on and never kept: a purge of the path
would not find them."""

UNKEYED = (
    *("X-Original-URL", "X-Rewrite-URL", "X-Host", "X-Method-Override"),
    *("X-HTTP-Method", "X-HTTP-Method-Override"),
)
"""Headers by which some frameworks take a request for another one than its path says. What came of
that would be given to all who ask for the path (James Kettle, "Practical Web Cache Poisoning")."""

ENCODING = r"(?i)(^|,)\s*{name}\s*(;\s*q=(1|0\.\d*[1-9]\d*)[\d.]*\s*)?(,|$)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that the configuration says. `versioned` is the path below which names hold hashes."""

    origin: Address
    answer_s: int
    revalidate_s: int
    stale_s: int
    missing_s: int
    object_mib: int
    versioned: str = ""


def configuration(rules: Rules) -> str:
    """Answer the file."""
    values = {
        "HOST": rules.origin.host,
        "PORT": str(rules.origin.port),
        "ANSWER": str(rules.answer_s),
        "REVALIDATE": str(rules.revalidate_s),
        "STALE": str(rules.stale_s),
        "MISSING": str(rules.missing_s),
        "OBJECT": str(rules.object_mib * MIB),
        "FAILED": str(FAILED_S),
        "UNCACHEABLE": str(UNCACHEABLE_S),
        "SECRET": f'std.getenv("{SECRET_VARIABLE}")',
        "HEADER": f"http.{SECRET_HEADER}",
        "BROTLI": ENCODING.replace("{name}", "br"),
        "GZIP": ENCODING.replace("{name}", "gzip"),
        "ALIAS": " || ".join(f'req.url ~ "{each}"' for each in ALIASES),
        "UNKEYED": " ".join(f"unset req.http.{each};" for each in UNKEYED),
        "VERSIONED": _versioned(rules.versioned),
    }
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], TEXT)


def _versioned(path: str) -> str:
    """A query says nothing where the name holds the content's hash."""
    if not path:
        return ""
    return f'if (req.url ~ "^{re.escape(path)}") {{ set req.url = regsub(req.url, "\\?.*$", ""); }}'


TEXT = r"""vcl 4.1;
import std;
import xkey;

backend origin {
    .host = "@HOST@"; .port = "@PORT@";
    .connect_timeout = 2s; .first_byte_timeout = @ANSWER@s; .between_bytes_timeout = @ANSWER@s;
}

sub vcl_recv {
    if (req.restarts == 0) {
        if (!req.@HEADER@ && req.url == "/readyz") { return (synth(200, "ready")); }
        if (@SECRET@ == "" || req.@HEADER@ != @SECRET@) { return (synth(403, "Forbidden")); }
        unset req.@HEADER@;
        unset req.http.X-Millions-Mode;
        unset req.http.X-Millions-State;
        # ours was added behind it, and is not the client's
        set req.http.X-Forwarded-For = regsub(req.http.X-Forwarded-For, ",[^,]*$", "");
        if (req.method == "PURGE") { call purged; }
    }
    if (req.method != "GET" && req.method != "HEAD") { return (pass); }
    if (req.http.Cookie || req.http.Authorization) { return (pass); }
    if (@ALIAS@) { return (pass); }
    @UNKEYED@
    set req.http.Host = std.tolower(req.http.Host);
    @VERSIONED@
    set req.url = std.querysort(req.url);
    if (req.http.Accept-Encoding ~ "@BROTLI@") {
        if (req.http.Accept-Encoding ~ "@GZIP@") { set req.http.Accept-Encoding = "br, gzip"; }
        else { set req.http.Accept-Encoding = "br"; }
    } elsif (req.http.Accept-Encoding ~ "@GZIP@") { set req.http.Accept-Encoding = "gzip"; }
    else { unset req.http.Accept-Encoding; }
    if (req.http.X-Millions-Mode == "fresh") { set req.grace = 0s; } else { set req.grace = 100d; }
    return (hash);
}

sub purged {
    if (!req.http.Purge-Tags) { return (synth(400, "no tags")); }
    set req.http.X-Millions-Purged = xkey.purge(req.http.Purge-Tags);
    return (synth(200, req.http.X-Millions-Purged));
}

sub vcl_hash {
    hash_data(req.url);
    hash_data(req.http.Host);
    hash_data(req.http.X-Forwarded-Proto);
    return (lookup);
}

sub vcl_hit {
    if (obj.ttl > 0s) {
        set req.http.X-Millions-State = "hit";
        return (deliver);
    }
    # too old, but kept: given at once while a fresh one is fetched, or when there is none to be had
    if (req.http.X-Millions-Mode == "stale"
        || obj.ttl + std.duration(obj.http.X-Millions-Revalidate, 0s) > 0s) {
        set req.http.X-Millions-State = "hit; detail=stale";
        return (deliver);
    }
    set req.http.X-Millions-Mode = "fresh";
    return (restart);
}

sub vcl_miss { set req.http.X-Millions-State = "fwd=miss"; return (fetch); }
sub vcl_pass { set req.http.X-Millions-State = "fwd=bypass"; return (fetch); }

sub vcl_backend_fetch {
    set bereq.@HEADER@ = @SECRET@;
    return (fetch);
}

sub vcl_backend_response {
    unset beresp.http.X-Request-Id;
    if (beresp.status >= 500) {
        if (bereq.is_bgfetch || bereq.http.X-Millions-Mode == "fresh") { return (abandon); }
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        if (bereq.uncacheable) { return (deliver); }
        set beresp.ttl = @FAILED@s;
        if (beresp.http.Set-Cookie) { set beresp.uncacheable = true; }
        return (deliver);
    }
    if (bereq.uncacheable) { return (deliver); }
    set beresp.http.X-Millions-Policy = beresp.http.Cache-Control;
    if (beresp.http.CDN-Cache-Control) {
        set beresp.http.X-Millions-Policy = beresp.http.CDN-Cache-Control;
        set beresp.ttl = std.duration(regsub(beresp.http.CDN-Cache-Control,
            "(?i)^(.*[,\s])?max-age=(\d{1,9}).*$", "\2") + "s", 0s);
    }
    if (beresp.http.X-Millions-Policy == "" && (beresp.status == 404 || beresp.status == 410)) {
        set beresp.ttl = @MISSING@s;
        set beresp.http.X-Millions-Policy = "max-age=@MISSING@, must-revalidate";
    }
    if (beresp.ttl <= 0s || beresp.http.Set-Cookie
        || beresp.http.X-Millions-Policy !~ "(?i)(^|[,\s])(s-maxage|max-age)="
        || beresp.http.X-Millions-Policy ~ "(?i)(private|no-store|no-cache)"
        || beresp.http.Vary ~ "\*"  # who has a cookie or a token does not come here
        || std.integer(beresp.http.Content-Length, 0) > @OBJECT@
        || (beresp.status != 200 && beresp.status != 203 && beresp.status != 204
            && beresp.status != 300 && beresp.status != 301 && beresp.status != 302
            && beresp.status != 307 && beresp.status != 308 && beresp.status != 404
            && beresp.status != 410)) {
        set beresp.uncacheable = true;
        set beresp.ttl = @UNCACHEABLE@s;
        return (deliver);
    }
    call kept;
    return (deliver);
}

sub kept {
    set beresp.keep = 0s;
    set beresp.grace = @STALE@s;
    set beresp.http.X-Millions-Revalidate = "@REVALIDATE@s";
    if (beresp.http.X-Millions-Policy ~ "(?i)stale-if-error=\d") {
        set beresp.grace = std.duration(regsub(beresp.http.X-Millions-Policy,
            "(?i)^.*stale-if-error=(\d{1,9}).*$", "\1") + "s", 0s);
    }
    if (beresp.http.X-Millions-Policy ~ "(?i)stale-while-revalidate=\d") {
        set beresp.http.X-Millions-Revalidate = regsub(beresp.http.X-Millions-Policy,
            "(?i)^.*stale-while-revalidate=(\d{1,9}).*$", "\1") + "s";
    }
    if (beresp.http.X-Millions-Policy ~ "(?i)(must|proxy)-revalidate") {
        set beresp.grace = 0s;
        set beresp.http.X-Millions-Revalidate = "0s";
    }
    if (beresp.grace < std.duration(beresp.http.X-Millions-Revalidate, 0s)) {
        set beresp.grace = std.duration(beresp.http.X-Millions-Revalidate, 0s);
    }
    # every answer has the tag of its path, and one that they all have
    set beresp.http.xkey = "|all |path:"
        + regsuball(regsub(bereq.url, "\?.*$", ""), ",", "%2C") + " " + beresp.http.Surrogate-Key;
}

sub vcl_backend_error {
    if (bereq.retries == 0) { return (retry); }
    if (bereq.is_bgfetch || bereq.http.X-Millions-Mode == "fresh") { return (abandon); }
    set beresp.ttl = @FAILED@s;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.http.Content-Type = "text/plain";
    set beresp.http.Retry-After = "1";
    set beresp.body = {"cannot answer this request
  because: the web servers are not reached
"};
    return (deliver);
}

sub vcl_deliver {
    set resp.http.Cache-Status = server.identity + "; " + req.http.X-Millions-State;
    if (req.http.X-Request-Id) { set resp.http.X-Request-Id = req.http.X-Request-Id; }
    unset resp.http.X-Millions-Policy;
    unset resp.http.X-Millions-Revalidate;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.Surrogate-Key;
    unset resp.http.xkey;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    return (deliver);
}

sub vcl_synth {
    # nothing fresh was to be had: what is kept is better than nothing
    if (req.http.X-Millions-Mode == "fresh" && resp.status >= 500) {
        set req.http.X-Millions-Mode = "stale";
        return (restart);
    }
    set resp.http.Content-Type = "text/plain";
    set resp.body = resp.reason + {"
"};
    return (deliver);
}
"""
