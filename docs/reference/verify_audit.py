"""Verify a kv audit log: verify_audit.py FOLDER [SEQ HASH]. See audit-format.md. Exit 0: intact, 1: not."""
import hashlib, json, pathlib, sys

folder, anchor = pathlib.Path(sys.argv[1]), sys.argv[2:4]
seq, prev, anchored = 0, "0" * 64, not anchor

def fail(why):
    sys.exit(print(f"entry {seq + 1} ({where}): {why}") or 1)

names = sorted(p.name for p in folder.glob("[0-9]" * 6 + ".ndjson"))
for number, name in enumerate(names, 1):
    where = name
    if name != f"{number:06}.ndjson":
        fail("the segment before this one is missing")
    for line_number, line in enumerate(open(folder / name, "rb"), 1):
        where = f"{name}, line {line_number}"
        if not line.endswith(b"\n"):
            fail("the line is torn") if number < len(names) else print("the log ends in a torn line")
            break
        body, suffix = line[:-76], line[-76:]
        if suffix != b',"hash":"%s"}\n' % hashlib.sha256(body).hexdigest().encode():
            fail("its hash is not that of its bytes")
        entry = json.loads(body + b"}")
        if entry["seq"] != seq + 1 or entry["prev"] != prev:
            fail("it does not follow on the entry before")
        starts = entry["segment"] if entry["kind"] == "segment" else 0
        if starts != (number if line_number == 1 else 0):
            fail("a segment begins where it should not, or does not where it should")
        if anchor and seq + 1 == int(anchor[0]):
            anchored = suffix[9:73].decode() == anchor[1] or fail("it is not the entry that the anchor names")
        seq, prev = seq + 1, suffix[9:73].decode()

where = "the end"
print(f"intact up to entry {seq}, {prev}") if anchored else fail(f"the log ends before the anchor, entry {anchor[0]}")
