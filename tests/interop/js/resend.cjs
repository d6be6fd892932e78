// Sends a mail with Resend's SDK for Node.js.
const { readFileSync } = require("node:fs");
const { Resend } = require("resend");

const said = ({ name, address }) => (name ? `"${name}" <${address}>` : address);

async function main() {
  const { mail, url, key } = JSON.parse(readFileSync(0, "utf8"));
  const resend = new Resend(key, { baseUrl: `${url}/resend` });
  const { data, error } = await resend.emails.send(
    {
      from: said(mail.from),
      to: mail.to.map(said),
      bcc: mail.bcc,
      subject: mail.subject,
      text: mail.text,
      html: mail.html,
      attachments: [{ filename: mail.file.name, contentType: mail.file.type, content: mail.file.content }],
    },
    mail.key ? { idempotencyKey: mail.key } : {},
  );
  if (error) {
    console.error(error.name, error.message);
    process.exitCode = 1;
    return;
  }
  console.log(data.id);
}

main();
