select id, client, key_hash, senders, recipient_domains, scopes, created_at, expires_at, revoked_at, last_used_at, kind,
  networks
from keys order by created_at, id;
