"""The demo doctor: what is wrong with source demonstrations, found before anything is generated from them."""
