package sandbox_test

func helper() bool { return false }
