<?php
// Hashes of the given passwords by PHP and by the code of PHP systems, as lines for `daypass user import`.
//
//     php make.php WORDPRESS OLD_WORDPRESS DRUPAL SYMFONY LARAVEL JOOMLA < passwords.json > php.json
//
// Folders of sources: WordPress 6.8 or later, WordPress before 6.8, drupal/core, symfony/password-hasher,
// illuminate/hashing, joomla-framework/authentication. Costs are low: the treatment of the password matters here.

[, $new, $old, $drupal, $symfony, $laravel, $joomla] = $argv;
$passwords = json_decode(stream_get_contents(STDIN), true)['passwords'];
$users = [];
function add(string $system, string $password, string $hash, array $members = []): void
{
    global $users;
    $columns = [
        'wordpress' => ['user_login', 'user_pass'], 'drupal' => ['name', 'pass'], 'symfony' => ['email', 'password'],
        'laravel' => ['email', 'password'], 'joomla' => ['username', 'password'], 'daypass' => ['username', 'password_hash'],
    ];
    [$name, $member] = $columns[$system];
    $line = json_encode([$name => 'user-' . count($users), $member => $hash, ...$members], JSON_UNESCAPED_SLASHES);
    $users[] = ['system' => $system, 'line' => $line, 'password' => $password];
}

// PHP itself.
foreach ($passwords as $password) {
    add('daypass', $password, password_hash($password, PASSWORD_BCRYPT, ['cost' => 4]));
    add('daypass', $password, crypt($password, '$6$rounds=1000$' . bin2hex(random_bytes(8)) . '$'));
    foreach ([PASSWORD_ARGON2I, PASSWORD_ARGON2ID] as $algorithm) {
        add('daypass', $password, password_hash($password, $algorithm, ['memory_cost' => 64, 'time_cost' => 1]));
    }
    add('daypass', $password, sodium_crypto_pwhash_str($password, 1, 8192));
}

// WordPress: its forms add slashes to a password and trim it, and its command and REST API do not add slashes.
// `wp_hash_password` of one version; a process has one.
if (getenv('WORDPRESS')) {
    define('ABSPATH', getenv('WORDPRESS') . '/');
    define('WPINC', 'wp-includes');
    function apply_filters($name, $value)
    {
        return $name === 'wp_hash_password_options' ? ['cost' => 4] : $value;
    }
    require ABSPATH . WPINC . '/pluggable.php';
    foreach ($passwords as $password) {
        add('wordpress', $password, wp_hash_password(trim(addslashes($password))));
        add('wordpress', $password, wp_hash_password($password));
    }
    echo json_encode($users);
    exit;
}
function of_wordpress(string $folder, array $passwords): string
{
    $pipes = [];
    $environment = ['WORDPRESS' => $folder];
    $child = proc_open([PHP_BINARY, ...$GLOBALS['argv']], [['pipe', 'r'], ['pipe', 'w']], $pipes, null, $environment);
    fwrite($pipes[0], json_encode(['passwords' => $passwords]));
    fclose($pipes[0]);
    foreach (json_decode(stream_get_contents($pipes[1]), true) as $user) {
        if ($user['system'] === 'wordpress') {
            add('wordpress', $user['password'], json_decode($user['line'], true)['user_pass']);
        }
    }
    proc_close($child);
    require "$folder/wp-includes/version.php";
    return $wp_version;
}
$versions = [of_wordpress($new, $passwords), of_wordpress($old, $passwords)];

// Drupal 7 to 10 with `$S$`, an update of Drupal 6 with `U$S$`, and Drupal 10.1 or later with bcrypt. Its form trims a password.
foreach (['PasswordInterface', 'PhpPassword', 'PhpassHashedPasswordBase'] as $class) {
    require "$drupal/lib/Drupal/Core/Password/$class.php";
}
$crypt = new class(new Drupal\Core\Password\PhpPassword()) extends Drupal\Core\Password\PhpassHashedPasswordBase {
    public function old(string $algorithm, string $password, string $mark): string
    {
        // 2^7 rounds, the fewest that Drupal computes.
        return $this->crypt($algorithm, $password, $mark . '5' . substr(bin2hex(random_bytes(4)), 0, 8));
    }
};
foreach ($passwords as $password) {
    $typed = trim($password);
    $members = ['status' => 1];
    add('drupal', $password, $crypt->old('sha512', $typed, '$S$'), $members);
    add('drupal', $password, 'U' . $crypt->old('sha512', md5($typed), '$S$'), $members);
    add('drupal', $password, $crypt->old('md5', $typed, '$P$'), $members);
    add('drupal', $password, (new Drupal\Core\Password\PhpPassword(PASSWORD_BCRYPT, ['cost' => 4]))->hash($typed), $members);
}

// Symfony, also with a password that is too long for bcrypt.
spl_autoload_register(function (string $class) use ($symfony, $laravel, $joomla): void {
    $roots = [
        'Symfony\\Component\\PasswordHasher\\' => $symfony, 'Illuminate\\Hashing\\' => $laravel,
        'Joomla\\Authentication\\' => "$joomla/src",
    ];
    foreach ($roots as $prefix => $root) {
        $file = $root . '/' . str_replace('\\', '/', substr($class, strlen($prefix))) . '.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require $file;
        }
    }
});
foreach ([...$passwords, str_repeat('seventy-three bytes or more ', 3)] as $password) {
    foreach ([PASSWORD_BCRYPT, PASSWORD_ARGON2ID] as $algorithm) {
        $hasher = new Symfony\Component\PasswordHasher\Hasher\NativePasswordHasher(3, 10240, 4, $algorithm);
        add('symfony', $password, $hasher->hash($password));
    }
}

// Laravel.
eval('namespace Illuminate\Contracts\Hashing; interface Hasher {}');
foreach ($passwords as $password) {
    $hashers = [
        new Illuminate\Hashing\BcryptHasher(['rounds' => 4]),
        new Illuminate\Hashing\ArgonHasher(['memory' => 64, 'time' => 1]),
        new Illuminate\Hashing\Argon2IdHasher(['memory' => 64, 'time' => 1]),
    ];
    foreach ($hashers as $hasher) {
        add('laravel', $password, $hasher->make($password), ['email_verified_at' => '2024-05-01 09:30:00']);
    }
}

// Joomla.
foreach ($passwords as $password) {
    $argon2 = ['memory_cost' => 64, 'time_cost' => 1];
    $handlers = [
        [new Joomla\Authentication\Password\BCryptHandler(), ['cost' => 4]],
        [new Joomla\Authentication\Password\Argon2iHandler(), $argon2],
        [new Joomla\Authentication\Password\Argon2idHandler(), $argon2],
    ];
    foreach ($handlers as [$handler, $options]) {
        add('joomla', $password, $handler->hashPassword($password, $options), ['block' => 0]);
    }
}

preg_match("/const VERSION = '(.*)'/", file_get_contents("$drupal/lib/Drupal.php"), $found);
echo json_encode([
    'library' => 'PHP, WordPress, WordPress, Drupal, symfony/password-hasher, illuminate/hashing, joomla/authentication',
    'version' => implode(', ', [PHP_VERSION, ...$versions, $found[1], getenv('SYMFONY'), getenv('LARAVEL'), getenv('JOOMLA')]),
    'users' => $users,
], JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";
