<?php
// Hashes the passwords of standard input, a JSON list, with PHP's own functions and with
// WordPress' class of before 6.8. Standard output has a JSON object a line. Of the dear
// settings, which are the defaults, only the first password is hashed.

require '/usr/share/wordpress/wp-includes/class-phpass.php';

// wordpress68 is wp_hash_password of WordPress 6.8, which Debian does not have yet.
function wordpress68(string $password, array $cost): string
{
    $mac = hash_hmac('sha384', trim($password), 'wp-sha384', true);
    return '$wp' . password_hash(base64_encode($mac), PASSWORD_BCRYPT, $cost);
}

$schemes = [
    ['bcrypt', fn($p) => password_hash($p, PASSWORD_BCRYPT), true],
    ['argon2i', fn($p) => password_hash($p, PASSWORD_ARGON2I), true],
    ['argon2id', fn($p) => password_hash($p, PASSWORD_ARGON2ID), true],
    ['wordpress 6.8', fn($p) => wordpress68($p, []), true],
    ['wordpress 6.8, quick', fn($p) => wordpress68($p, ['cost' => 4]), false],
    ['bcrypt 4', fn($p) => password_hash($p, PASSWORD_BCRYPT, ['cost' => 4]), false],
];
foreach (['argon2i' => PASSWORD_ARGON2I, 'argon2id' => PASSWORD_ARGON2ID] as $name => $kind) {
    foreach ([[64, 1], [1000, 3]] as [$memory, $passes]) {
        $cost = ['memory_cost' => $memory, 'time_cost' => $passes];
        $schemes[] = ["$name $memory, $passes", fn($p) => password_hash($p, $kind, $cost), false];
    }
}
foreach ([4, 6, 8] as $log2) {
    $class = new PasswordHash($log2, true);
    $schemes[] = ["wordpress phpass $log2", fn($p) => $class->HashPassword($p), false];
}

$passwords = json_decode(stream_get_contents(STDIN), false, 512, JSON_THROW_ON_ERROR);
foreach ($schemes as [$scheme, $hash, $dear]) {
    foreach ($dear ? array_slice($passwords, 0, 1) : $passwords as $password) {
        if (str_starts_with($scheme, 'wordpress') && trim($password) !== $password) {
            continue; // WordPress cuts the spaces
        }
        echo json_encode(['scheme' => "php $scheme", 'producer' => 'php', 'version' => PHP_VERSION,
            'hash' => $hash($password), 'password' => $password], JSON_THROW_ON_ERROR), "\n";
    }
}
