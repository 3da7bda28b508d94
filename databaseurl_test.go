package main

import "testing"

func TestDatabaseURLs(t *testing.T) {
	const inQuotes = "white space or quotes"
	checkSettings(t, []settingRow{
		{"a relative path", []string{"DATABASE_URL=sqlite:users.db"}, "", "sqlite:users.db", false},
		{"an absolute path", []string{"DATABASE_URL=sqlite:/var/lib/users.db"}, "", "sqlite:/var/lib/users.db", false},
		{"SQLAlchemy's relative path", []string{"DATABASE_URL=sqlite:///./app.db"}, "", "sqlite:./app.db", false},
		{"SQLAlchemy's relative path of one word", []string{"DATABASE_URL=sqlite:///app.db"}, "", "sqlite:app.db", false},
		{"SQLAlchemy's relative path that may be meant as absolute", []string{"DATABASE_URL=sqlite:///data/app.db"}, "want four", "sqlite:data/app.db", false},
		{"SQLAlchemy's absolute path", []string{"DATABASE_URL=sqlite:////data/app.db"}, "", "sqlite:/data/app.db", false},
		{"SQLAlchemy's path with a driver", []string{"DATABASE_URL=sqlite+aiosqlite:///./app.db"}, "", "sqlite:./app.db", false},
		{"SQLAlchemy's absolute path with a driver", []string{"DATABASE_URL=sqlite+pysqlite:////data/app.db"}, "", "sqlite:/data/app.db", false},
		{"SQLAlchemy's memory", []string{"DATABASE_URL=sqlite://"}, "path of a file", "", true},
		{"SQLAlchemy's memory by name", []string{"DATABASE_URL=sqlite+aiosqlite:///:memory:"}, "path of a file", "", true},
		{"a path with parameters of Python", []string{"DATABASE_URL=sqlite:///./app.db?check_same_thread=False"}, "without parameters", "", true},
		{"a path after two slashes", []string{"DATABASE_URL=sqlite://app.db"}, "path of a file", "", true},
		{"a file: URL", []string{"DATABASE_URL=sqlite:///file:app.db"}, "path of a file", "", true},
		{"a path with ? in it", []string{"DATABASE_URL=sqlite:what?.db"}, "", "sqlite:what?.db", false},
		{"a path in quotes", []string{`DATABASE_URL="sqlite:///./app.db"`}, inQuotes, "sqlite:./app.db", false},

		{"PostgreSQL", []string{"DATABASE_URL=postgres://u:opensesame@h:1/db"}, "", "postgres://h:1/db", false},
		{"PostgreSQL on two hosts", []string{"DATABASE_URL=postgresql://u@h1,h2/db?sslmode=disable"}, "", "postgres://h1:5432,h2:5432/db", false},
		{"PostgreSQL with asyncpg", []string{"DATABASE_URL=postgresql+asyncpg://u:opensesame@h/db?ssl=require"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with psycopg2", []string{"DATABASE_URL=postgresql+psycopg2://u:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with psycopg", []string{"DATABASE_URL=postgresql+psycopg://u:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with a password of escapes", []string{"DATABASE_URL=postgres://u:%40%2F%23@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with an @ in the password", []string{"DATABASE_URL=postgres://u:a@b@h/db"}, "%XX", "", true},
		{"PostgreSQL with an @ in the user, as Azure had it", []string{"DATABASE_URL=postgres://u%40srv:opensesame@h/db"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with an @ in a parameter", []string{"DATABASE_URL=postgres://h/db?user=u@srv&password=a@b"}, "", "postgres://h:5432/db", false},
		{"PostgreSQL with a password that becomes a parameter", []string{"DATABASE_URL=postgres://u:1/x?a@h/db?sslmode=disable"}, "%XX", "", true},
		{"another database", []string{"DATABASE_URL=mysql+pymysql://u:opensesame@h/db"}, "want sqlite:path", "", true},
		{"keys and values", []string{"DATABASE_URL=host=h user=u password=opensesame"}, "want sqlite:path", "", true},
	})
}

func TestFromSQLAlchemy(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"asyncpg's ssl is sslmode", "postgresql+asyncpg://h/db?ssl=verify-full", "postgresql://h/db?sslmode=verify-full"},
		{"asyncpg's ssl is sslmode after others", "postgresql+asyncpg://h/db?application_name=x&ssl=require", "postgresql://h/db?application_name=x&sslmode=require"},
		{"asyncpg's ssl=true is require", "postgresql+asyncpg://h/db?ssl=true", "postgresql://h/db?sslmode=require"},
		{"asyncpg without parameters", "postgres+asyncpg://h/db", "postgres://h/db"},
		{"libpq's own sslmode stays", "postgresql+psycopg://h/db?sslmode=require", "postgresql://h/db?sslmode=require"},
		{"what is ours stays", "postgres://u:+asyncpg@h/db?ssl=true", "postgres://u:+asyncpg@h/db?ssl=true"},
		{"an unknown dialect stays", "mysql+pymysql://h/db", "mysql+pymysql://h/db"},
		{"nothing stays", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fromSQLAlchemy(tt.url); got != tt.want {
				t.Errorf("got %s; want %s", got, tt.want)
			}
		})
	}
}

func FuzzFromSQLAlchemy(f *testing.F) {
	for _, url := range append(badURLs, "sqlite:///./app.db", "sqlite+aiosqlite:////x", "postgresql+asyncpg://h/db?ssl=true") {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		ours := fromSQLAlchemy(url)
		if again := fromSQLAlchemy(ours); again != ours && checkDatabaseURL(ours) == nil {
			t.Errorf("%q is %q, which is %q", url, ours, again)
		}
	})
}
