DROP TABLE keys;
DROP TABLE accounts;
DROP TABLE instruments;
DROP TABLE assets;
