require("./no-such-thing");
