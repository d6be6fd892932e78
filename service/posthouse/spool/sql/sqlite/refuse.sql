-- Recipients refused at RCPT, with the reply: [0 message, 1 address, 2 reply and text].
update recipients set refused = e.value->>2
from jsonb_each(:refused) e
where recipients.message = e.value->>0 and recipients.address = e.value->>1;
