// Sends a mail with Microsoft's Graph client and @azure/identity.
const { readFileSync } = require("node:fs");
const { ClientSecretCredential } = require("@azure/identity");
const { Client } = require("@microsoft/microsoft-graph-client");
const {
  TokenCredentialAuthenticationProvider,
} = require("@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials");

const recipient = ({ name, address }) => ({ emailAddress: { name, address } });

async function main() {
  const { mail, url, client_id, key } = JSON.parse(readFileSync(0, "utf8"));
  const credential = new ClientSecretCredential("contoso.example", client_id, key, {
    authorityHost: url,
    disableInstanceDiscovery: true,
  });
  const authProvider = new TokenCredentialAuthenticationProvider(credential, {
    scopes: ["https://graph.microsoft.com/.default"],
  });
  const client = Client.initWithMiddleware({ authProvider, baseUrl: url, customHosts: new Set([new URL(url).hostname]) });
  const request = client.api(`/users/${mail.from.address}/sendMail`);
  if (mail.key) {
    request.header("client-request-id", mail.key);
  }
  await request.post({
    message: {
      from: recipient(mail.from),
      toRecipients: mail.to.map(recipient),
      bccRecipients: mail.bcc.map((address) => recipient({ address })),
      subject: mail.subject,
      body: { contentType: "HTML", content: mail.html },
      attachments: [
        {
          "@odata.type": "#microsoft.graph.fileAttachment",
          name: mail.file.name,
          contentType: mail.file.type,
          contentBytes: mail.file.content,
        },
      ],
    },
  });
}

main().catch((error) => {
  console.error(error.name, error.statusCode, error.code, error.message);
  process.exitCode = 1;
});
