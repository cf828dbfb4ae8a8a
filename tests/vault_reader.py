#!/usr/bin/env python3
"""Reads a vault of kv and prints what it holds, names and lengths only; `--values` prints the values too.

Written from docs/reference/vault-format.md alone, as a check that the page is enough. It changes nothing and takes no lock:
use it on a copy. Needs argon2-cffi and PyNaCl.

    python3 vault_reader.py DIRECTORY < passphrase
"""

import hashlib
import hmac
import os
import sqlite3
import struct
import sys
import unicodedata

from argon2.low_level import Type, hash_secret_raw
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_open

KINDS = {1: "secret", 2: "audit head", 3: "connection", 4: "secret label", 5: "factor"}
STATES = {0: "live", 1: "replaced", 2: "removed"}


def expand(key, info):
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def read_header(header, passphrase):
    magic, version, kdf, cipher, flags = struct.unpack_from(">8sHBBI", header)
    assert (magic, version, kdf, cipher, flags, len(header)) == (b"kv-vault", 1, 1, 1, 0, 188), "not a header"
    assert sha256(header[:156]) == header[156:], "the header is damaged"
    vault, (memory, passes, lanes) = header[16:32], struct.unpack_from(">III", header, 32)
    assert 19456 <= memory <= 1 << 20 and 2 <= passes <= 16 and 1 <= lanes <= 8, "cost out of bounds"
    secret = unicodedata.normalize("NFC", passphrase).encode()
    kek = hash_secret_raw(secret, header[52:84], passes, memory, lanes, 32, Type.ID, 19)
    return vault, aead_open(header[108:156], b"kv-vault/1/wrap" + header[:84], header[84:108], kek)


def read_record(key, vault, row, sealed):
    head = aead_open(sealed[24:296], b"kv-vault/1/head" + vault + row, sealed[:24], key)
    kind, state, version, item, _, _, _, length, named = struct.unpack_from(">BBI16sQQQIB", head)
    name = head[51 : 51 + named]
    assert not any(head[51 + named :]), "padding"
    aad = b"kv-vault/1/body" + vault + row + struct.pack(">B16sIIB", kind, item, version, length, named) + name
    body = aead_open(sealed[320:], aad, sealed[296:320], key)
    assert len(body) == max(64, 1 << (length - 1).bit_length() if length else 0) and not any(body[length:]), "padding"
    return kind, state, version, item, name.decode(), body[:length]


def main():
    path = os.path.join([a for a in sys.argv[1:] if not a.startswith("--")][0], "vault.db")
    passphrase = sys.stdin.read().removesuffix("\n")
    # `immutable` so that nothing is written and no journal is looked for.
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    (header,) = database.execute("SELECT bytes FROM header").fetchone()
    (root,) = database.execute("SELECT sealed FROM root").fetchone()
    rows = database.execute("SELECT id, sealed FROM records ORDER BY id").fetchall()

    vault, data = read_header(header, passphrase)
    records = [read_record(expand(data, b"kv-vault/1/records"), vault, row, sealed) for row, sealed in rows]
    plain = aead_open(root[24:], b"kv-vault/1/root" + vault, root[:24], expand(data, b"kv-vault/1/root"))
    mac = hmac.new(expand(data, b"kv-vault/1/set"), b"kv-vault/1/set" + vault + plain[:8] + sha256(header), hashlib.sha256)
    mac.update(struct.pack(">Q", len(rows)))
    for (row, sealed), record in zip(rows, records):
        mac.update(row + struct.pack(">I", record[2]) + sha256(sealed))
    assert hmac.compare_digest(mac.digest(), plain[8:]), "the set of records is not the one that was written last"

    print(f"vault {vault.hex()} epoch {int.from_bytes(plain[:8], 'big')}")
    for kind, state, version, item, name, value in sorted(records, key=lambda r: (r[0], r[4], r[2])):
        shown = f" {value!r}" if "--values" in sys.argv else ""
        print(f"{KINDS[kind]} {name} {item.hex()} version {version} {STATES[state]} {len(value)} bytes{shown}")


main()
