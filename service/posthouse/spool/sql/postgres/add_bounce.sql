-- Nothing where this report of it is known already.
insert into bounces (message, report, recipient, lane, at, code, reply, text, fix)
values (:message, :report, :recipient, :lane, :at, :code, :reply, :text, :fix)
on conflict (message, report, recipient) do nothing returning message;
