-- What was looked for already when the copy was made and would be sent again where nothing is found: message, its mailbox
-- and route, and the account that its attempt went out by.
select u.message, m.mailbox, d.route, l.account
from unsettled u
join messages m on m.id = u.message
join details d on d.message = u.message
join attempts a on a.message = u.message and a.number = u.number
join lanes l on l.id = a.account
where u.look_at is not null and u.may_resend = 1;
