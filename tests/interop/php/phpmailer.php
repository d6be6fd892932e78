<?php
// Sends a mail with PHPMailer.
require '/usr/share/php/libphp-phpmailer/autoload.php';

use PHPMailer\PHPMailer\Exception;
use PHPMailer\PHPMailer\PHPMailer;
use PHPMailer\PHPMailer\SMTP;

$order = json_decode(file_get_contents('php://stdin'), true);
$mail = $order['mail'];
$mailer = new PHPMailer(true);
try {
    $mailer->isSMTP();
    $mailer->SMTPDebug = SMTP::DEBUG_SERVER; // its exceptions leave out what the server said of a login or a content
    $mailer->CharSet = PHPMailer::CHARSET_UTF8;
    $mailer->Host = $order['host'];
    $mailer->Port = $order['ports']['starttls'];
    $mailer->SMTPSecure = PHPMailer::ENCRYPTION_STARTTLS;
    $mailer->SMTPAuth = true;
    $mailer->Username = 'anything';
    $mailer->Password = $order['key'];
    $mailer->setFrom($mail['from']['address'], $mail['from']['name']);
    foreach ($mail['to'] as $one) {
        $mailer->addAddress($one['address'], $one['name']);
    }
    foreach ($mail['bcc'] as $address) {
        $mailer->addBCC($address);
    }
    if ($mail['key'] !== null) {
        $mailer->addCustomHeader('Idempotency-Key', $mail['key']);
    }
    $mailer->Subject = $mail['subject'];
    $mailer->isHTML(true);
    $mailer->Body = $mail['html'];
    $mailer->AltBody = $mail['text'];
    $file = $mail['file'];
    $mailer->addStringAttachment(
        base64_decode($file['content']), $file['name'], PHPMailer::ENCODING_BASE64, $file['type']
    );
    $mailer->send();
} catch (Exception $error) {
    fwrite(STDERR, get_class($error) . ': ' . $error->getMessage() . "\n");
    exit(1);
}
