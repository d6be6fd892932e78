// Sends a mail with nodemailer.
const { readFileSync } = require("node:fs");
const { createTransport } = require("nodemailer");

async function main() {
  const { mail, host, ports, key } = JSON.parse(readFileSync(0, "utf8"));
  const transport = createTransport({
    host,
    port: ports.starttls,
    requireTLS: true,
    auth: { user: "anything", pass: key },
  });
  const sent = await transport.sendMail({
    from: mail.from,
    to: mail.to,
    bcc: mail.bcc,
    subject: mail.subject,
    text: mail.text,
    html: mail.html,
    headers: mail.key ? { "Idempotency-Key": mail.key } : {},
    attachments: [
      { filename: mail.file.name, contentType: mail.file.type, content: mail.file.content, encoding: "base64" },
    ],
  });
  console.log(sent.response);
}

main().catch((error) => {
  console.error(error.code, error.responseCode, error.message);
  process.exitCode = 1;
});
