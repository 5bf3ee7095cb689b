"""How the model's shape may change: vocabulary versions and layer growth. Time is always an argument here."""
