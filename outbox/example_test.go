package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

// SendWelcome is what the handler of kind "welcome" will get, as JSON.
type SendWelcome struct {
	UserID int64  `json:"user_id"`
	To     string `json:"to"`
}

func (SendWelcome) Kind() string { return "welcome" }

// JobOptions are the defaults of every SendWelcome.
func (SendWelcome) JobOptions() outbox.Options {
	return outbox.Options{QueueName: "email:processing", MaxAttempts: 8}
}

// The user and the mail to them exist both or neither.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		panic(err)
	}
	defer pool.Close()

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var id int64
		if err := tx.QueryRow(ctx, `INSERT INTO users (email) VALUES ($1) RETURNING id`, "a@b.c").Scan(&id); err != nil {
			return err
		}
		_, err := outbox.Insert(ctx, tx, SendWelcome{UserID: id, To: "a@b.c"}, outbox.Options{})
		return err
	})
	if err != nil {
		panic(err)
	}
}

func ExampleInsert_options() {
	var (
		ctx context.Context
		tx  pgx.Tx
	)
	_, err := outbox.Insert(ctx, tx, SendWelcome{To: "a@b.c"}, outbox.Options{
		Priority: new(20), // before most others; 0 is the most urgent
		Delay:    5 * time.Minute,
		Headers:  map[string]string{"tenant": "acme"},
	})
	if err != nil {
		panic(err)
	}
}

func ExampleInsertSQL() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://localhost/app")
	if err != nil {
		panic(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `UPDATE users SET confirmed = true WHERE id = $1`, 7); err != nil {
		panic(err)
	}
	if _, err := outbox.InsertSQL(ctx, tx, SendWelcome{UserID: 7, To: "a@b.c"}, outbox.Options{}); err != nil {
		panic(err)
	}
	if err := tx.Commit(); err != nil {
		panic(err)
	}
}

func ExampleInsertMany() {
	var (
		ctx       context.Context
		tx        pgx.Tx
		addresses []string
	)
	items := make([]outbox.Item, len(addresses))
	for i, to := range addresses {
		items[i] = outbox.Item{Args: SendWelcome{To: to}}
	}
	count, err := outbox.InsertMany(ctx, tx, items)
	if err != nil {
		panic(err)
	}
	fmt.Println(count, "mails will go out, if the transaction commits")
}

// A limit is found before anything is sent: no server is asked here.
func ExampleInsert_refused() {
	_, err := outbox.Insert(context.Background(), nil, SendWelcome{}, outbox.Options{Priority: new(2000)})
	fmt.Println(err)
	var field *job.FieldError
	if errors.As(err, &field) {
		fmt.Println("wrong:", field.Field)
	}
	// Output:
	// insert job: priority is 2000, must be 0 to 1000
	// wrong: priority
}
