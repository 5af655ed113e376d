"""Every Redis key of ours, and how a number is stored in the suppression set.

This docstring is the contract; the Lua scripts beside this file build bucket keys by the same
rules.

============================================== ====== =======================================
key                                            type   holds
============================================== ====== =======================================
``{tenant}:suppressed:{scope}``                hash   the *pointer* of a scope, see below
``{tenant}:suppressed:{scope}:{gen}:{bucket}`` set    members of one bucket of one generation
``suppressed:position``                        string up to which transaction of Postgres the sets
                                                      have followed the consent log; lost or set
                                                      back together with them
``{tenant}:pace:{sender}``                     string microseconds of the server's clock up to
                                                      which the sender's segments are spoken for;
                                                      expires by itself
``high-water:{identity}``                      hash   ``era``, ``seq`` and ``timeline``: the highest
                                                      mark that was seen in the database of this
                                                      identity; only ever raised, never expires
``{tenant}:pause``                             string there while Twilio wants the account left
                                                      alone (429, ``Retry-After``): nobody begins
                                                      anything of it; expires when that is over,
                                                      and is never shortened
============================================== ====== =======================================

The braces around the tenant's id are written literally: they are Redis's hash tag, so that all keys
of a tenant live in one cluster slot. A message is checked against its own tenant *and* the
platform-wide list (tenant 0), and scripts build bucket keys from a pointer; both need **one
server** (with replicas, or one per group of tenants), not a Redis Cluster.

*Scope* 0 is all senders of the tenant; any other scope is the id of a sender. Tenant 0, scope 0 is
the platform-wide list.

Fields of a pointer:

* ``generation``, ``buckets``: what lookups read. Absent: the scope was never built here, it is
  *cold*.
* ``next_generation``, ``next_buckets``, ``next_lease``: the rebuild under way, to which writers
  write as well, and the server's time in milliseconds after which another rebuild may take over.
* ``met_cold``: the generation in which a lookup met a bucket that was not whole.
* ``old_generation``, ``old_buckets``: what the last rebuild replaced, so that a rebuild which died
  before it removed those keys is tidied up by the next one.

A number n (its E.164 digits, at most 15, so exact in Lua's doubles) is member ``n // buckets`` of
bucket ``n % buckets``. While a bucket has at most 512 small members it is an *intset*: about 5
bytes a number against 57 to 68 in a plain set of strings.

Every bucket also holds its *sentinel*, ``-generation``, written by a rebuild and by nothing else. A
bucket without it (flushed, evicted, deleted, another database, a rebuild cut short) is recognised
as **cold**; a "ready" key beside the set would still be there when the set is gone.
"""

from uuid import UUID

#: A bucket turns from an intset into a hash table, ten times the size, beyond this many members
#: (Redis's default ``set-max-intset-entries``).
INTSET_LIMIT = 512

#: Mean number of members for which a new generation is sized: numbers spread over buckets like
#: chance, so 256 leaves room for doubling before the first bucket passes the limit.
MEAN_MEMBERS = 256

#: E.164 allows 15 digits. Lua computes in doubles, which are exact to 2**53 (15.9 digits).
LARGEST_NUMBER = 10**15 - 1


def pointer_key(tenant_id: int, scope: int) -> str:
    """The hash that says which generation of a scope's set is in force."""
    return f"{{{tenant_id}}}:suppressed:{scope}"


#: Where the mirror notes how far it has come. It stands beside the sets and not in Postgres: a
#: snapshot that is restored brings its own position back, and what came since is followed again.
POSITION_KEY = "suppressed:position"


def bucket_key(pointer: str, generation: int, bucket: int) -> str:
    """The set that holds one bucket of one generation of the scope with this pointer key."""
    return f"{pointer}:{generation}:{bucket}"


def pacing_key(tenant_id: int, sender_id: int) -> str:
    """The token bucket of one sender."""
    return f"{{{tenant_id}}}:pace:{sender_id}"


#: The pattern of all databases' marks.
HIGH_WATER_KEYS = "high-water:*"


def high_water_key(identity: UUID) -> str:
    """The high-water mark of the database with this identity."""
    return f"high-water:{identity}"


def pause_key(tenant_id: int) -> str:
    """There while the tenant's account is left alone.

    Losing it costs requests that Twilio refuses again with a 429, which are proven not processed.
    """
    return f"{{{tenant_id}}}:pause"


def sentinel(generation: int) -> int:
    """The member that tells a bucket of this generation from an absent one.

    Negative, so that no number can be mistaken for it; generations are Unix seconds or little
    more, so it fits 32 bits (which keeps the intset small) until 2038, and works afterwards.
    """
    return -generation


def split(number: int, buckets: int) -> tuple[int, int]:
    """Where a number is kept, as ``(bucket, member)``.

    Raises:
        ValueError: not the digits of an E.164 number.
    """
    member, bucket = divmod(require_number(number), buckets)
    return bucket, member


def require_number(number: int) -> int:
    """Return the number, or raise ValueError, without quoting it, where it cannot be E.164."""
    if not 0 < number <= LARGEST_NUMBER:
        raise ValueError(f"not the digits of an E.164 number: {len(str(number))} characters")
    return number


def buckets_for(count: int) -> int:
    """How many buckets a scope of this many numbers gets: 1, or a number coprime to 10.

    Numbers are handed out in blocks of tens, hundreds and thousands; a bucket count that shares a
    factor with 10 would leave buckets empty and overfill others.
    """
    buckets = max(1, -(-count // MEAN_MEMBERS))
    while buckets > 1 and (buckets % 2 == 0 or buckets % 5 == 0):
        buckets += 1
    return buckets
