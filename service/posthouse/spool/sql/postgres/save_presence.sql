insert into presence (account, kind, own, level, proved_at, asked_at, ask_at, answer, witness, witness_message_id,
                      witness_sent_at, witness_transport)
values (:account, :kind, :own, :level, :proved_at, :asked_at, :ask_at, :answer, :witness::text::uuid, :witness_message_id,
        :witness_sent_at, :witness_transport)
on conflict (account, kind, own) do update set level = excluded.level, proved_at = excluded.proved_at,
  asked_at = excluded.asked_at, ask_at = excluded.ask_at, answer = excluded.answer, witness = excluded.witness,
  witness_message_id = excluded.witness_message_id, witness_sent_at = excluded.witness_sent_at,
  witness_transport = excluded.witness_transport;
