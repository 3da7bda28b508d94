<?php
// The users table of Laravel in old.sql, for MySQL and SQLite, with hashes as Laravel makes
// them. Laravel 11 has 12 rounds, versions before it 10; argon2id is a setting.

function sql(?string $value): string
{
    return $value === null ? 'NULL' : "'" . str_replace("'", "''", $value) . "'";
}

$statements = ['CREATE TABLE users (id INTEGER PRIMARY KEY, name varchar(255) NOT NULL,
    email varchar(255) NOT NULL UNIQUE, email_verified_at timestamp NULL, password varchar(255) NOT NULL,
    remember_token varchar(100) NULL, created_at timestamp NULL, updated_at timestamp NULL);'];
$hashes = [
    fn($p) => password_hash($p, PASSWORD_BCRYPT, ['cost' => 12]),
    fn($p) => password_hash($p, PASSWORD_BCRYPT, ['cost' => 10]),
    fn($p) => password_hash($p, PASSWORD_ARGON2ID, ['memory_cost' => 65536, 'time_cost' => 4]),
];
foreach (json_decode(stream_get_contents(STDIN)) as $i => $person) {
    if ($person->password === null) {
        continue;
    }
    $created = strtr($person->created_at, ['T' => ' ', 'Z' => '']);
    $hash = $hashes[$i % 3]($person->password);
    $row = [$person->full_name ?? $person->name, $person->email, $hash, $created];
    $statements[] = sprintf('INSERT INTO users (id, name, email, password, created_at) VALUES (%d, %s);',
        $i + 1, implode(', ', array_map('sql', $row)));
    echo json_encode(['username' => $person->email, 'email' => $person->email, 'full_name' => $row[0],
        'password' => $person->password, 'created_at' => $person->created_at]), "\n";
}
file_put_contents('old.sql', implode("\n", $statements));
