<?php
// The table wp_users in old.sql, with hashes of WordPress' own class of before 6.8, and as
// wp_hash_password has made them since. WordPress puts backslashes before quotes and
// backslashes in a password, so nobody here has any.

require '/usr/share/wordpress/wp-includes/class-phpass.php';

function sql(?string $value): string
{
    return $value === null ? 'NULL' : "'" . str_replace("'", "''", $value) . "'";
}

function wordpress68(string $password): string
{
    $mac = hash_hmac('sha384', trim($password), 'wp-sha384', true);
    return '$wp' . password_hash(base64_encode($mac), PASSWORD_BCRYPT);
}

$phpass = new PasswordHash(8, true);
$hashes = [
    fn($p) => $phpass->HashPassword($p),
    fn($p) => wordpress68($p),
    fn($p) => password_hash($p, PASSWORD_BCRYPT),
];
$statements = ["CREATE TABLE wp_users (ID bigint unsigned NOT NULL PRIMARY KEY,
    user_login varchar(60) NOT NULL DEFAULT '', user_pass varchar(255) NOT NULL DEFAULT '',
    user_nicename varchar(50) NOT NULL DEFAULT '', user_email varchar(100) NOT NULL DEFAULT '',
    user_url varchar(100) NOT NULL DEFAULT '',
    user_registered datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    user_activation_key varchar(255) NOT NULL DEFAULT '', user_status int NOT NULL DEFAULT 0,
    display_name varchar(250) NOT NULL DEFAULT '');"];
foreach (json_decode(stream_get_contents(STDIN)) as $i => $person) {
    $password = $person->password === null ? null : str_replace(['"', "'", '\\'], '', $person->password);
    $hash = $password === null ? md5('a password of 2007') : $hashes[$i % 3]($password);
    $created = strtr($person->created_at, ['T' => ' ', 'Z' => '']);
    $row = [$person->name, $hash, $person->email ?? '', $created, $person->full_name ?? ''];
    $statements[] = sprintf('INSERT INTO wp_users
        (ID, user_login, user_pass, user_email, user_registered, display_name) VALUES (%d, %s);',
        $i + 1, implode(', ', array_map('sql', $row)));
    echo json_encode(['username' => $person->name, 'email' => $person->email, 'password' => $password,
        'full_name' => $person->full_name, 'created_at' => $person->created_at]), "\n";
}
file_put_contents('old.sql', implode("\n", $statements));
